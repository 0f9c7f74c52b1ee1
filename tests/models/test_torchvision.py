"""The published weights: torchvision's own answers, and the way their files take from a server to a photo."""

import copy
import hashlib
import io
import json
import socket
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from torch import Tensor, nn
from torchvision.models import get_model, get_model_weights, resnet50
from torchvision.ops import SqueezeExcitation
from torchvision.transforms import Compose, Normalize, ToTensor

import segmodels
from segmodels import Segmenter
from segmodels.checkpoints import download
from segmodels.checkpoints.download import FetchError, fetch
from segmodels.checkpoints.files import load_state, read_state
from segmodels.cli import main
from segmodels.inference.settings import check_settings
from segmodels.inference.sizes import fit_short_side
from segmodels.insight.facts import facts as facts_of
from segmodels.kernels.precision import optimise
from segmodels.labels import VOC_CLASSES
from segmodels.models import registry
from segmodels.models import torchvision as published
from segmodels.models.base import SegmentationNetwork
from segmodels.models.deeplab import DeepLabV3Decoder

from ..conftest import EXAMPLES
from ..helpers import randomise_norms

PUBLISHED = [name for name, card in registry.CARDS.items() if card.published]
MOBILENET = "deeplabv3_mobilenet_v3_large"

ARTICLE = Compose([ToTensor(), Normalize(mean=[0.485, 0.456, 0.406], std=[0.229, 0.224, 0.225])])
"""What the article does to a photo before its network sees it."""


def torchvisions(name: str) -> nn.Module:
    """torchvision's own network, as its checkpoint was made from it."""
    torch.manual_seed(0)
    network: nn.Module = get_model(name, weights=None, weights_backbone=None, aux_loss=True).eval()
    randomise_norms(network)
    return network


def ours(name: str, theirs: nn.Module) -> SegmentationNetwork:
    """Our network with the weights of torchvision's."""
    network = segmodels.build(name)
    load_state(network, published.translate(name, theirs.state_dict()))
    return network.eval()


@pytest.fixture(scope="module")
def mobilenet() -> nn.Module:
    """torchvision's DeepLab on MobileNetV3 with random weights, but for the last layer: that tells eight colours apart.

    A last layer that is random too gives shallow logits, in which classes win here and there between two cells only.
    Trained ones have a clear winner in nearly every cell, and so has this.
    """
    network = torchvisions(MOBILENET)
    photo = Image.open(EXAMPLES / "cat.jpg").convert("RGB")
    with torch.inference_mode():
        pixels = ARTICLE(photo)[None]
        body, last = (
            nn.Sequential(*list(network.get_submodule("classifier").children())[:4]),
            network.get_submodule("classifier.4"),
        )
        features = body(network.get_submodule("backbone")(pixels)["out"])
        colours = nn.functional.adaptive_avg_pool2d(pixels, features.shape[-2:])[0].flatten(1).T
        classes = (colours > colours.median(0).values).float() @ torch.tensor([1.0, 2.0, 4.0]) + 1
        targets = nn.functional.one_hot(classes.long(), len(VOC_CLASSES)).float()
        known = nn.functional.pad(features[0].flatten(1).T, (0, 1), value=1)
        solution = torch.linalg.solve(known.T @ known + 0.01 * torch.eye(known.shape[1]), known.T @ targets)
        last.load_state_dict({"weight": solution[:-1].T[..., None, None], "bias": solution[-1]})
    return network


# The networks


@pytest.mark.parametrize("name", [MOBILENET, "fcn_resnet50", "deeplabv3_resnet50"])
def test_the_logits_are_torchvisions(name: str) -> None:
    """To the rounding of the pooled map: torchvision enlarges its one cell bilinearly, which is not exact everywhere."""
    theirs = torchvisions(name)
    network = ours(name, theirs)
    x = torch.randn(1, 3, 65, 97)
    with torch.inference_mode():
        torch.testing.assert_close(network(x), theirs(x)["out"], rtol=1e-4, atol=1e-3)


@pytest.mark.parametrize("name", PUBLISHED)
def test_every_checkpoint_fits_its_network_and_only_the_auxiliary_classifier_is_left_out(name: str) -> None:
    with torch.device("meta"):
        theirs = get_model(name, weights=None, weights_backbone=None, aux_loss=True).state_dict()
        network = segmodels.build(name)
    translated = published.translate(name, theirs)
    assert {key: value.shape for key, value in translated.items()} == {
        key: value.shape for key, value in network.state_dict().items()
    }
    assert len(theirs) - len(translated) == sum(key.startswith("aux_classifier.") for key in theirs)
    assert published.translate(name, translated).keys() == translated.keys()


def test_the_stride_of_a_resnet_is_torchvisions_replace_stride_with_dilation() -> None:
    torch.manual_seed(0)
    backbone = segmodels.build("fcn_resnet50").backbone
    assert isinstance(backbone, published.TorchvisionBackbone)
    randomise_norms(backbone)
    backbone.eval()
    x = torch.randn(1, 3, 65, 70)
    for stride, replaced in ((8, [False, True, True]), (16, [False, False, True]), (32, [False, False, False])):
        theirs = resnet50(weights=None, replace_stride_with_dilation=replaced)
        theirs.avgpool, theirs.fc = nn.Identity(), nn.Identity()
        theirs.load_state_dict(backbone.state_dict())
        backbone.set_output_stride(stride)
        assert backbone.output_stride == stride
        with torch.inference_mode():
            assert torch.equal(backbone(x)[-1].flatten(1), theirs.eval()(x))


def test_the_stride_of_mobilenet_keeps_the_cells_that_were_trained(mobilenet: nn.Module) -> None:
    """At another stride the cells that are common have the same values, taps and all.

    The squeeze-and-excitation is taken out: its mean over the map, of more or fewer cells, is another one.
    """
    backbone = copy.deepcopy(ours(MOBILENET, mobilenet).backbone)
    assert isinstance(backbone, published.TorchvisionBackbone)
    for path, module in list(backbone.named_modules()):
        if isinstance(module, SqueezeExcitation):
            backbone.set_submodule(path, nn.Identity())
    x = torch.randn(1, 3, 129, 97)
    maps = {}
    for stride in (8, 16, 32):
        backbone.set_output_stride(stride)
        with torch.inference_mode():
            maps[stride] = backbone(x)[-1]
        assert maps[stride].shape[-2:] == (-(-129 // stride), -(-97 // stride))
    for stride in (16, 32):
        torch.testing.assert_close(maps[8][..., :: stride // 8, :: stride // 8], maps[stride], rtol=1e-3, atol=1e-4)


@pytest.mark.parametrize("name", [MOBILENET, "deeplabv3_resnet50"])
def test_rates_and_strides_are_set_on_the_folded_network_and_leave_the_answer(name: str) -> None:
    torch.manual_seed(0)
    network = segmodels.build(name).eval()
    randomise_norms(network)
    fast = optimise(copy.deepcopy(network), torch.device("cpu"), "float32")
    assert not any(isinstance(module, nn.BatchNorm2d) for module in fast.modules())
    x = torch.randn(1, 3, 65, 70)
    for stride, rate in ((network.backbone.output_stride, 12), (32, 2)):
        answers = []
        for either in (network, fast):
            either.backbone.set_output_stride(stride)
            assert isinstance(either.decoder, DeepLabV3Decoder)
            either.decoder.aspp.set_atrous_rates((rate, 2 * rate, 3 * rate))
            with torch.inference_mode():
                answers.append(either(x))
        scale = answers[0].std()
        torch.testing.assert_close(answers[1] / scale, answers[0] / scale, rtol=0, atol=1e-4)


# The cards


@pytest.mark.parametrize("name", PUBLISHED)
def test_cards_say_what_torchvision_says(name: str) -> None:
    theirs = get_model_weights(name).COCO_WITH_VOC_LABELS_V1
    transforms = theirs.transforms()
    card, facts = registry.card(name), facts_of(registry.card(name))
    assert [name.strip("_") for name in theirs.meta["categories"]] == list(card.classes) == list(VOC_CLASSES)
    assert card.mean == pytest.approx([value * 255 for value in transforms.mean])
    assert card.std == pytest.approx([value * 255 for value in transforms.std])
    assert [card.short_side] == transforms.resize_size
    assert (facts["source"], facts["url"]) == ("published", theirs.url)
    assert facts["megabytes"] * 1e6 == pytest.approx(
        theirs.meta["_file_size"] * 2**20, abs=500
    )  # theirs are of 2^20 bytes
    assert facts["scores"]["miou"] * 100 == pytest.approx(theirs.meta["_metrics"]["COCO-val2017-VOC-labels"]["miou"])
    assert "measured by torchvision" in facts["scores"]["data"]
    assert "COCO" in facts["training"]["summary"]
    assert facts["macs"] / 1e9 * 3 / 4 == pytest.approx(theirs.meta["_ops"], rel=0.07)  # theirs has the auxiliary one
    json.dumps(facts)
    assert name in segmodels.trained_models()
    assert name not in registry.bundled_models()


@pytest.mark.parametrize("size", [(451, 300), (300, 451), (512, 512), (33, 32), (999, 1000), (1333, 777), (2047, 520)])
def test_the_input_size_is_that_of_torchvisions_transforms(size: tuple[int, int]) -> None:
    transforms = get_model_weights(MOBILENET).COCO_WITH_VOC_LABELS_V1.transforms()
    height, width = transforms(Image.new("RGB", size)).shape[1:]
    assert fit_short_side(size, 520) == (width, height)


def test_a_long_photo_is_not_enlarged_without_bound() -> None:
    assert fit_short_side((8000, 400), 520) == (2048, 102)
    assert fit_short_side((2, 9000), 520) == (32, 2048)


def test_the_published_fcns_have_a_stride_to_choose_and_no_rate() -> None:
    card = registry.card("fcn_resnet50")
    with pytest.raises(ValueError, match="fcn_resnet50 has no atrous rate"):
        check_settings(card, atrous_rate=6)
    assert check_settings(card, output_stride=16).output_stride == 16
    segmenter = Segmenter(registry.build(card.name), card, "cpu", "float32")
    photo = np.zeros((64, 96, 3), dtype=np.uint8)
    result = segmenter(photo, output_stride=16, working_size=96)
    assert (result.atrous_rate, result.output_stride) == (None, 16)
    assert "trained at output stride 8; this ran at 16" in result.notes[0]
    assert segmenter.encode(photo, 16, 96).maps[-1].shape[-2:] == (4, 6)


# The answer


@pytest.mark.parametrize("photo", ["cat", "astronaut"])
def test_the_label_map_is_the_articles(photo: str, mobilenet: nn.Module) -> None:
    """ToTensor, Normalize, model(x)["out"], argmax, at the size at which our network sees the photo by default."""
    image = Image.open(EXAMPLES / f"{photo}.jpg").convert("RGB")
    segmenter = Segmenter(ours(MOBILENET, mobilenet), registry.card(MOBILENET), "cpu", "float32")
    image = image.resize(segmenter.input_size(image.size))
    with torch.inference_mode():
        expected = mobilenet(ARTICLE(image)[None])["out"][0].argmax(0).numpy()
    result = segmenter(image)
    assert result.working_size == image.size
    assert (result.atrous_rate, result.output_stride) == (12, 16)
    assert len(np.unique(expected)) > 3
    assert (result.labels == expected).mean() > 0.995


# The files


class Server(ThreadingHTTPServer):
    """Serves files by name over the loopback interface; counts how often each was asked for."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), Handler)
        self.files: dict[str, bytes] = {}
        self.asked: Counter[str] = Counter()
        self.promised = 0
        """Bytes that are announced beyond those that are sent."""
        self.gate = threading.Event()
        """The second half of a file is sent once this is set."""
        self.gate.set()

    def add(self, content: bytes, sha256: str | None = None) -> str:
        """Serve ``content`` under a name as torchvision's; returns its URL."""
        name = f"tiny-{sha256 or hashlib.sha256(content).hexdigest()[:8]}.pth"
        self.files[name] = content
        return self.url(name)

    def url(self, name: str) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}/models/{name}"


class Handler(BaseHTTPRequestHandler):
    server: Server

    def do_GET(self) -> None:
        name = self.path.rpartition("/")[2]
        self.server.asked[name] += 1
        if name not in self.server.files:
            self.send_error(404)
            return
        content = self.server.files[name]
        self.send_response(200)
        self.send_header("Content-Length", str(len(content) + self.server.promised))
        self.end_headers()
        half = len(content) // 2
        self.wfile.write(content[:half])
        self.wfile.flush()
        self.server.gate.wait(60)
        self.wfile.write(content[half:])

    def log_message(self, *arguments: Any) -> None:
        """Say nothing."""


@contextmanager
def serving() -> Iterator[Server]:
    """The server, running; whoever still waits at its gate is let through at the end."""
    with Server() as running:
        running.daemon_threads = True
        threading.Thread(target=running.serve_forever, args=(0.02,), daemon=True).start()
        yield running
        running.gate.set()
        running.shutdown()


@pytest.fixture
def server(cache: Path) -> Iterator[Server]:
    with serving() as running:
        yield running


@pytest.fixture
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """torch's hub cache, empty."""
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    monkeypatch.setenv("no_proxy", "127.0.0.1")
    return tmp_path / "hub" / "checkpoints"


@pytest.fixture
def nobody() -> str:
    """A URL at which nothing listens."""
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        return f"http://127.0.0.1:{closed.getsockname()[1]}/models/tiny-0123abcd.pth"


CONTENT = bytes(range(256)) * 8192  # 2.1 MB
SHA256 = hashlib.sha256(CONTENT).hexdigest()[:8]


def kept(cache: Path) -> list[str]:
    """The files in the cache, but for the locks."""
    return sorted(file.name for file in cache.glob("*") if file.suffix != ".lock")


def test_a_file_is_fetched_once_and_its_progress_told(server: Server, cache: Path) -> None:
    url = server.add(CONTENT)
    told: list[tuple[int, int | None]] = []
    file = fetch(url, SHA256, lambda *progress: told.append(progress))
    assert file == cache / f"tiny-{SHA256}.pth"
    assert file.read_bytes() == CONTENT
    assert kept(cache) == [file.name]
    assert told == sorted(told)
    assert told[-1] == (len(CONTENT), len(CONTENT))
    fetch(url, SHA256)
    assert server.asked[file.name] == 1


def test_a_damaged_file_in_the_cache_is_fetched_again(server: Server, cache: Path) -> None:
    url = server.add(CONTENT)
    cache.mkdir(parents=True)
    (cache / f"tiny-{SHA256}.pth").write_bytes(CONTENT[:-1])
    assert fetch(url, SHA256).read_bytes() == CONTENT


def test_a_truncated_file_is_not_kept(server: Server, cache: Path) -> None:
    server.promised = 1000
    with pytest.raises(FetchError, match=r"broke off after 2\.1 of 2\.1 MB"):
        fetch(server.add(CONTENT), SHA256)
    assert kept(cache) == []


def test_a_file_with_another_hash_is_not_kept(server: Server, cache: Path) -> None:
    with pytest.raises(FetchError, match="SHA-256 is another"):
        fetch(server.add(CONTENT + b"!", SHA256), SHA256)
    assert kept(cache) == []


def test_a_file_that_is_not_there(server: Server, cache: Path) -> None:
    with pytest.raises(FetchError, match=r"127\.0\.0\.1 answered 404"):
        fetch(server.url("tiny-0123abcd.pth"), "0123abcd")
    assert kept(cache) == []


def test_without_a_connection_the_answer_is_there_at_once(nobody: str, cache: Path) -> None:
    started = time.monotonic()
    with pytest.raises(FetchError, match=r"^there is no connection to 127\.0\.0\.1$"):
        fetch(nobody, "0123abcd")
    assert time.monotonic() - started < 5
    cache.joinpath("tiny-0123abcd.pth").write_bytes(b"put there by hand, but another")
    with pytest.raises(FetchError, match="the file in the cache is damaged and there is no connection"):
        fetch(nobody, "0123abcd")


def test_a_network_that_swallows_everything_is_given_up_in_time(
    nobody: str, cache: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    released = threading.Event()

    def swallow(*_: Any) -> socket.socket:
        released.wait(60)
        raise TimeoutError

    monkeypatch.setattr(download, "create_connection", swallow)
    monkeypatch.setattr(download, "CONNECT_SECONDS", 0.1)
    started = time.monotonic()
    with pytest.raises(FetchError, match="no connection"):
        fetch(nobody, "0123abcd")
    assert time.monotonic() - started < 5
    released.set()


def test_a_cache_that_cannot_be_used_is_named(server: Server, cache: Path) -> None:
    cache.parent.mkdir(parents=True)
    cache.write_text("a file where the folder should be")
    with pytest.raises(FetchError, match=r"cache in .* cannot be used"):
        fetch(server.add(CONTENT), SHA256)


def test_two_visitors_at_once_share_one_download(server: Server, cache: Path) -> None:
    url = server.add(CONTENT)
    server.gate.clear()
    with ThreadPoolExecutor(2) as visitors:
        files = [visitors.submit(fetch, url, SHA256) for _ in range(2)]
        time.sleep(0.3)
        server.gate.set()
        assert {file.result().read_bytes() for file in files} == {CONTENT}
    assert server.asked[f"tiny-{SHA256}.pth"] == 1
    assert kept(cache) == [f"tiny-{SHA256}.pth"]


def test_a_visitor_who_gives_up_leaves_nothing(server: Server, cache: Path) -> None:
    def give_up(*_: Any) -> None:
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fetch(server.add(CONTENT), SHA256, give_up)
    assert kept(cache) == []


def test_a_process_killed_half_way_leaves_nothing_that_is_taken_for_the_file(server: Server, cache: Path) -> None:
    url = server.add(CONTENT)
    server.gate.clear()
    script = f"from segmodels.checkpoints.download import fetch; fetch({url!r}, {SHA256!r}, lambda *_: print('on its way', flush=True))"
    with subprocess.Popen([sys.executable, "-c", script], stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "on its way\n"
        process.kill()
    assert not (cache / f"tiny-{SHA256}.pth").exists()
    server.gate.set()
    assert fetch(url, SHA256).read_bytes() == CONTENT
    assert kept(cache) == [f"tiny-{SHA256}.pth"]
    assert server.asked[f"tiny-{SHA256}.pth"] == 2


# From the server to the photo


def checkpoint(state: dict[str, Tensor]) -> bytes:
    """As torchvision wrote its older ones, before torch's files were zip archives."""
    buffer = io.BytesIO()
    torch.save(state, buffer, _use_new_zipfile_serialization=False)
    return buffer.getvalue()


def test_the_command_line_fetches_and_segments(
    server: Server,
    cache: Path,
    mobilenet: nn.Module,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    url = server.add(checkpoint(mobilenet.state_dict()))
    monkeypatch.setattr(published, "url", lambda name: url)
    card = registry.card(MOBILENET)
    assert card.trained
    assert not card.at_hand
    arguments = ["--model", MOBILENET, "--working-size", "200", "--precision", "float32", "--json"]
    main(["segment", str(EXAMPLES / "cat.jpg"), "--out", str(tmp_path), *arguments])
    assert card.at_hand
    report = json.loads(capsys.readouterr().out)
    assert (report["model"], report["atrous_rate"], report["output_stride"]) == (MOBILENET, 12, 16)
    assert Image.open(tmp_path / "cat_figure.png").width > 900
    again = segmodels.load(MOBILENET, device="cpu", precision="float32")
    labels = again(Image.open(EXAMPLES / "cat.jpg"), working_size=200).labels
    assert (labels == np.asarray(Image.open(tmp_path / "cat_labels.png"))).all()
    assert list(server.asked.values()) == [1]


def test_without_a_connection_one_sentence_says_what_to_do(
    nobody: str, cache: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str], tmp_path: Path
) -> None:
    monkeypatch.setattr(published, "url", lambda name: nobody)
    with pytest.raises(SystemExit) as caught:
        main(["segment", str(EXAMPLES / "cat.jpg"), "--model", "deeplabv3_resnet50", "--out", str(tmp_path / "out")])
    assert caught.value.code == 2
    (line,) = capsys.readouterr().err.splitlines()
    for part in ("deeplabv3_resnet50 (168 MB)", "no connection to 127.0.0.1", "choose a bundled network", nobody):
        assert part in line


def test_a_checkpoint_cannot_run_code(tmp_path: Path) -> None:
    class Evil:
        def __reduce__(self) -> tuple[Any, ...]:
            return Path.touch, (tmp_path / "touched",)

    torch.save({"weight": Evil()}, tmp_path / "evil.pth")
    with pytest.raises(ValueError, match="no weights that can be read"):
        read_state(tmp_path / "evil.pth")
    assert not (tmp_path / "touched").exists()

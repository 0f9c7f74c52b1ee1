"""What a file says of its colours without a profile: a word where they are not those of an ordinary screen."""

from PIL.ImageFile import ImageFile

_WIDE = {9: "BT.2020", 11: "DCI-P3", 12: "Display P3"}
_HDR = {16: "PQ", 18: "HLG"}
"""Colour primaries and transfer functions by their code points in ITU-T H.273."""

_BOXES = {"PNG": b"cICP", "AVIF": b"colrnclx", "HEIC": b"colrnclx"}


def colour_space_note(image: ImageFile, kind: str, head: bytes) -> list[str]:
    """A remark on colours of high dynamic range or wide gamut, which are taken for sRGB as they stand."""
    at = head.find(_BOXES[kind]) if kind in _BOXES and "icc_profile" not in image.info else -1
    if at < 0:
        return []
    codes = head[at + len(_BOXES[kind]) :]
    if kind == "PNG":
        primaries, transfer = codes[0], codes[1]
    else:
        primaries, transfer = int.from_bytes(codes[:2], "big"), int.from_bytes(codes[2:4], "big")
    if transfer in _HDR:
        return [f"high dynamic range ({_HDR[transfer]}) shown without tone mapping, so colours look dull"]
    return [f"wide-gamut colours ({_WIDE[primaries]}) taken for sRGB"] if primaries in _WIDE else []

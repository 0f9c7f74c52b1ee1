from segmodels.labels import PALETTE, VOC_CLASSES, VOID


def test_colours_are_those_of_pascal_voc() -> None:
    # The development kit's own colours, as printed in its documentation.
    known = {"background": (0, 0, 0), "aeroplane": (128, 0, 0), "bicycle": (0, 128, 0), "bird": (128, 128, 0)}
    known |= {"cat": (64, 0, 0), "person": (192, 128, 128), "tvmonitor": (0, 64, 128)}
    for name, colour in known.items():
        assert tuple(PALETTE[VOC_CLASSES.index(name)]) == colour
    assert tuple(PALETTE[VOID]) == (224, 224, 192)


def test_no_two_classes_share_a_colour() -> None:
    assert len({tuple(PALETTE[index]) for index in range(len(VOC_CLASSES))}) == 21

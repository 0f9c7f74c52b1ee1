TITLE = "Compare"


def section(photo, tab):
    pass

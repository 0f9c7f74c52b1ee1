"""What visitors are told when something cannot be done."""

NOT_AN_UPLOAD = (
    "This is not an uploaded photo. The server does not open its own files or fetch addresses: upload the photo itself."
)
GONE = (
    "This photo is no longer on the server. Photos are deleted an hour after the upload, and when the server restarts: "
    "open it again."
)
WRONG_INPUTS = 'These are not the inputs that this takes: see the list under "Use via API".'
NOT_A_QUESTION = "this is not a question that the page asks"
TOO_LARGE = "This request is too large."
FULL = "Too many people are waiting: try again in a minute."
BROKEN = "Something broke on the server, not in your photo: try again, and please report it if it keeps happening."


def error_message(error: ValueError | OSError) -> str:
    """Return what to tell a visitor: the message, or for a system error its kind without the path that it names."""
    if isinstance(error, OSError) and error.strerror:
        return f"The server cannot do this now ({error.strerror.lower()}): try again later."
    said = str(error)
    return said[:1].upper() + said[1:] + ("" if said.endswith((".", "?", "!")) else ".")

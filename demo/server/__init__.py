"""What guards, bounds and remembers: everything between a stranger's request and an answer."""

from .gradio_check import check_names

check_names()  # before anything is imported from gradio that may not be there

"""The entry point of a Hugging Face Space: ``python app.py`` opens the demo, as ``python -m demo`` does."""

from demo.__main__ import main

if __name__ == "__main__":
    main()

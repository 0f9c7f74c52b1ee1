"""Parts of the page that several tabs use: each folder holds its Python, script, style and template."""

"""The same answers sooner: precision, fused convolutions, the heap, and what measures them."""

"""Steps as machine code: traced by torch, written as C, compiled by the C compiler at hand."""

"""The second pass behind HTTP, in the dialects that clients already speak."""

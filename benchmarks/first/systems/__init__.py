"""One file a system: how each problem is declared in it, and how it is trained."""

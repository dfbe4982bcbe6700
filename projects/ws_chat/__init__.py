"""A chat over WebSockets in which Stop stops and a cut line loses nothing."""

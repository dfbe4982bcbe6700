"""A project's film: screenplay, recorded terminal, captions, rendering."""

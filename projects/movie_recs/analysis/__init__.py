"""How each part is judged: protocols of evaluation, one a module; study.py runs them."""

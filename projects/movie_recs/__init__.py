"""Films for somebody, from what he likes and from their texts."""

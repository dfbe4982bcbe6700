"""From raw text to batches: filters, tokenizer, shards and collator."""

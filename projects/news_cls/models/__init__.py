"""What reads an article: length policies, an encoder whose lower layers are kept, contrastive tuning, baselines."""

"""What the scripts do beside composing their options."""

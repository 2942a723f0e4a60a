"""The Hugging Face Hub: fetch, verify, remember, publish."""

"""What a payment is. Imports nothing else of paysim."""

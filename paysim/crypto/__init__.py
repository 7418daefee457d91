"""What a payment channel signs, seals, derives or verifies: values in, values out, on `cryptography`."""

"""A payment channel simulator: merchant QR codes, wallet apps and NFC taps behind one interface."""

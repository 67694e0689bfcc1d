"""Confirmation: the best trials trained again, the certificate, what training gained."""

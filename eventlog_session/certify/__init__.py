"""What a state store component really does, and which of the log's guarantees hold on it."""

from .certificate import Certificate, Guarantee, NoEtags, certify, known_types, runs

__all__ = ["Certificate", "Guarantee", "NoEtags", "certify", "known_types", "runs"]

"""Profiling: time per part of a query, and the throughput of a model on this machine."""

from secondpass.profiling.profile import Phase, Profile, Rates, measure_rates, profile_model

__all__ = ["Phase", "Profile", "Rates", "measure_rates", "profile_model"]

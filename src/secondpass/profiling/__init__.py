"""Where the time of one query goes, and how fast a model ranks on this machine."""

from secondpass.profiling.profile import Phase, Profile, Rates, measure_rates, profile_model

__all__ = ["Phase", "Profile", "Rates", "measure_rates", "profile_model"]

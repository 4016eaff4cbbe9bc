"""Where the time of one query goes, and how fast a model ranks on this machine."""

from secondpass.profiling.profile import Phase, Profile, profile_model
from secondpass.profiling.rates import Rates, measure_rates

__all__ = ["Phase", "Profile", "Rates", "measure_rates", "profile_model"]

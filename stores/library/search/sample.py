"""What a random sample of the models tells about all of them."""

from dataclasses import dataclass

ESTIMATE_DIGITS = 2


@dataclass(frozen=True, slots=True)
class Sample:
    """How many models there are, how many of them were looked at, and how many of these matched."""

    models: int
    seen: int
    matching: int

    @property
    def total(self) -> int:
        """The estimated number of all matches."""
        return round_estimate(self.matching * self.models / self.seen)

    def models_for(self, number: int) -> int:
        """Return among how many models so many matches should be."""
        return number * self.seen // self.matching + 1


def round_estimate(number: float) -> int:
    """Return a number without digits that an estimate does not know."""
    whole = round(number)
    return round(whole, min(0, ESTIMATE_DIGITS - len(str(whole))))

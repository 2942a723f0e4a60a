"""Networks with one fault each, beside the right ones of `tests/predict` and `tests/tasks`."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace

import toy_forecast
import toy_retriever
import toy_species
from seeing_toys import Brightest, model_of

from zoo.model import Model
from zoo.spec import ModelSpec


class Unmasked(toy_species.Logistic):
    """Asks which values are data, and takes all."""

    def forward(self, climate, climate_valid, patch=None):
        return super().forward(climate, climate_valid | True, patch)


class Crowd(toy_species.Logistic):
    """A site's answer depends on the others'."""

    def forward(self, climate, climate_valid=None, patch=None):
        made = super().forward(climate, climate_valid, patch)
        return made._replace(logits=made.logits - made.logits.mean(dim=0))


class Chorus(toy_retriever.Bag):
    """A text's vector depends on the others'."""

    def forward(self, image=None, text=None):
        made = super().forward(image, text)
        return (
            made if text is None else made._replace(text=toy_retriever.functional.normalize(made.text + made.text[0]))
        )


class Loud(toy_retriever.Bag):
    """Vectors of length 2."""

    def forward(self, image=None, text=None):
        made = super().forward(image, text)
        return made if image is None else made._replace(image=2 * made.image)


class Shares(Brightest):
    """Points as shares of the window's side."""

    def forward(self, image):
        made = super().forward(image)
        return made._replace(points_px=made.points_px / image.shape[-1])


class Centred(Brightest):
    """Points from the middle of the window."""

    def forward(self, image):
        made = super().forward(image)
        return made._replace(points_px=made.points_px - image.shape[-1] / 2)


class Corner(Brightest):
    """Scores that depend on the place in the window."""

    def forward(self, image):
        made = super().forward(image)
        return made._replace(scores=made.scores * made.points_px[..., :1] / image.shape[-1])


class Logits(Brightest):
    """Scores before the sigmoid."""

    def forward(self, image):
        made = super().forward(image)
        return made._replace(scores=8 * made.scores - 4)


class Blurred(toy_forecast.Persistence):
    """Does not tell its variables apart."""

    def forward(self, weather, weather_times, weather_valid):
        both = weather.mean(dim=2, keepdim=True).expand_as(weather)
        return super().forward(both, weather_times, weather_valid)


class Hurried(toy_forecast.Persistence):
    """Answers for one lead time of two."""

    def forward(self, weather, weather_times, weather_valid):
        made = super().forward(weather, weather_times, weather_valid)
        return made._replace(values=made.values[:, :1] + self.drift)


FAULTS = {
    "sites": (toy_species.species_model(), (Unmasked, Crowd)),
    "words": (toy_retriever.retriever(), (Chorus, Loud)),
    "points": (model_of("brightest"), (Shares, Centred, Corner, Logits)),
    "forecast": (toy_forecast.forecaster(leads=(0.0, 12.0)), (Blurred, Hurried)),
}


def specs() -> Iterator[ModelSpec]:
    """A model per kind, `faulty-sites` say, with a variant per fault."""
    for name, (model, networks) in FAULTS.items():
        yield replace(model.spec, name=f"faulty-{name}", variants=tuple(variant_of(model, one) for one in networks))


def variant_of(model: Model, network: type):
    variant = replace(model.variant, tag=network.__name__.lower(), builder=f"faulty:{network.__name__}", weights=None)
    return replace(variant, task=model.task)

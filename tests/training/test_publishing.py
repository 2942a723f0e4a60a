"""Which licence published weights may have, by what they were made of."""

import pytest

from zoo.errors import ConfigError
from zoo.training.licences import TrainedOn, contradiction, redistribution, spdx


@pytest.mark.parametrize(
    ("asked", "base"),
    [
        ("Apache-2.0", "Apache-2.0"),
        ("MIT", "Apache-2.0"),
        ("GPL-3.0-only", "BSD-3-Clause"),
        ("CC-BY-4.0", "CC0-1.0"),
        ("CC0-1.0", "CC0-1.0"),
        ("MIT", "CC-BY-4.0"),
        ("CC-BY-NC-4.0", "CC-BY-4.0"),
        ("CC-BY-NC-4.0", "CC-BY-NC-4.0"),
        ("CC-BY-NC-SA-4.0", "CC-BY-NC-4.0"),
        ("CC-BY-NC-SA-4.0", "CC-BY-NC-SA-4.0"),
        ("CC-BY-SA-4.0", "CC-BY-SA-4.0"),
        ("AGPL-3.0-only", "AGPL-3.0-only"),
        ("agpl-3.0-only", "AGPL-3.0-only"),
        ("MIT", "GPL-2.0-only OR MIT"),
        ("LicenseRef-Lab", "LicenseRef-Lab"),
        ("MIT OR Apache-2.0", "BSD-3-Clause"),
        ("CC-BY-NC-4.0 OR CC-BY-NC-SA-4.0", "CC-BY-NC-4.0"),
        ("Apache-2.0", "MIT OR CC-BY-NC-4.0"),  # who publishes takes MIT
        ("GPL-2.0-only OR MIT", "GPL-2.0-only OR MIT"),
        ("MIT AND CC-BY-NC-4.0", "MIT AND CC-BY-NC-4.0"),
        ("(MIT OR ISC) AND AGPL-3.0-only", "(MIT OR ISC) AND AGPL-3.0-only"),
    ],
)
def test_licence_that_keeps_what_the_base_asks_for_is_allowed(asked, base):
    assert contradiction(asked, base) is None


@pytest.mark.parametrize(
    ("asked", "base", "why"),
    [
        ("Apache-2.0", "CC-BY-NC-4.0", "NonCommercial"),
        ("CC-BY-NC-4.0 OR Apache-2.0", "CC-BY-NC-4.0", "and Apache-2.0 does not (NonCommercial)"),
        ("MIT OR CC-BY-NC-4.0", "CC-BY-NC-4.0", "and MIT does not (NonCommercial)"),
        ("LicenseRef-non-nc", "CC-BY-NC-4.0", "NonCommercial"),
        ("MIT OR CC-BY-SA-4.0", "CC-BY-SA-4.0", "ShareAlike"),
        ("MIT OR CC0-1.0", "MIT", "asks for credit"),
        ("(CC-BY-NC-4.0 OR MIT) AND ISC", "CC-BY-NC-4.0", "parentheses"),
        ("MIT", "CC-BY-ND-4.0 OR CC-BY-NC-4.0", "NoDerivatives"),
        ("ISC", "(MIT OR GPL-2.0-only) AND CC-BY-NC-4.0", "not known to allow"),
        ("CC-BY-SA-4.0", "CC-BY-NC-4.0", "NonCommercial"),
        ("CC-BY-4.0", "CC-BY-SA-4.0", "ShareAlike"),
        ("CC-BY-NC-4.0", "CC-BY-NC-SA-4.0", "ShareAlike"),
        ("CC-BY-SA-4.0", "CC-BY-NC-SA-4.0", "ShareAlike"),
        ("MIT", "CC-BY-ND-4.0", "NoDerivatives"),
        ("CC-BY-ND-4.0", "CC-BY-ND-4.0", "NoDerivatives"),
        ("CC-BY-NC-ND-4.0", "CC-BY-NC-ND-4.0", "NoDerivatives"),
        ("CC0-1.0", "MIT", "asks for credit"),
        ("Apache-2.0", "AGPL-3.0-only", "not known to allow"),
        ("Apache-2.0", "LicenseRef-Lab", "not known to allow"),
        ("Apache-2.0", "MIT AND CC-BY-NC-4.0", "not known to allow"),
        ("GPL-3.0-only", "GPL-2.0-only WITH Classpath-exception-2.0", "not known to allow"),
    ],
)
def test_licence_that_drops_what_the_base_asks_for_is_refused_with_the_reason(asked, base, why):
    assert why in contradiction(asked, base)


def test_expressions_are_spelt_as_usual_or_refused():
    assert spdx("cc-by-nc-sa-4.0", "--license") == "CC-BY-NC-SA-4.0"
    with pytest.raises(ConfigError, match=r"--license is 'free', which is no SPDX .* expected such as Apache-2.0"):
        spdx("free", "--license")


def test_what_a_file_says_of_data_is_words_alone():
    rows = [{"name": "kelp | x\n# y", "license": None, "source": "[a](b)"}, {"license": "MIT"}, "kelp", {"name": 3}]
    assert TrainedOn.read(rows) == (TrainedOn(name="kelp x # y", license=None, source="a (b)"),)
    assert TrainedOn.read(None) == TrainedOn.read("kelp") == ()


@pytest.mark.parametrize(
    ("licence", "why"),
    [
        ("Apache-2.0", None),
        ("CC-BY-NC-SA-4.0", None),
        ("AGPL-3.0-only", None),
        (None, "not stated"),
        ("CC-BY-ND-4.0", "NoDerivatives"),
        ("LicenseRef-Lab", "a person must read"),
        ("see website", "no SPDX"),
    ],
)
def test_unchanged_weights_go_out_only_under_a_licence_that_is_known_to_allow_it(licence, why):
    found = redistribution(licence)
    assert (found is None) == (why is None)
    assert why is None or why in found

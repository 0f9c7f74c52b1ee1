"""Which packages the wheel has; everything else is in pyproject.toml. Bundled files stay in ``assets/``, where people look."""

from setuptools import find_packages, setup

setup(
    packages=[
        *find_packages(include=["segmodels", "segmodels.*", "demo", "demo.*"]),
        "segmodels.assets.examples",
        "segmodels.assets.weights",
    ],
    package_dir={"segmodels.assets": "assets"},
)

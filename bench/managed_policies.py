"""Writes the AWS managed policies that the package moto knows as one JSON file each, for `cargo xtask bench --access`.

They are measured on, never shipped.
"""

import json
import pathlib
import sys

from moto.iam.aws_managed_policies import aws_managed_policies_data


def main(folder: pathlib.Path) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name, policy in json.loads(aws_managed_policies_data).items():
        document = policy["Document"]
        folder.joinpath(f"{name}.json").write_text(document if isinstance(document, str) else json.dumps(document))


if __name__ == "__main__":
    main(pathlib.Path(sys.argv[1]))

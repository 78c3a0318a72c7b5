"""Checks an OpenAPI document, as JSON from the input, against the schema of OpenAPI 3.1.

Fails and says what is wrong with it, or prints nothing.
"""

import json
import sys

from openapi_spec_validator import OpenAPIV31SpecValidator

document = json.load(sys.stdin)
errors = [
    f"{'/'.join(map(str, error.absolute_path))}: {error.message}"
    for error in OpenAPIV31SpecValidator(document).iter_errors()
]
sys.exit("\n".join(errors) or None)

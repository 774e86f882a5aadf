from typing import cast

import pytest

from tests.conftest import MakeDeployment
from tests.support.deployment import BACKENDS, Backend, Deployment


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return cast("Backend", request.param)


@pytest.fixture
async def deployment(deploy: MakeDeployment, backend: Backend) -> Deployment:
    return deploy(backend)

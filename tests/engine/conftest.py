from typing import cast

import pytest

from tests.conftest import MakeDeployment
from tests.engine.live_hands import Replica
from tests.support.deployment import BACKENDS, Backend, Deployment


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return cast("Backend", request.param)


@pytest.fixture
async def deployment(deploy: MakeDeployment, backend: Backend) -> Deployment:
    return deploy(backend)


@pytest.fixture
async def one(deployment: Deployment) -> Replica:
    return await Replica.at(deployment, "r1")


@pytest.fixture
async def two(deployment: Deployment) -> Replica:
    return await Replica.at(deployment, "r2")

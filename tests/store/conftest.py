from typing import cast

import pytest
from muster.store.base import Store

from tests.conftest import MakeDeployment
from tests.support.deployment import BACKENDS, Backend, Deployment


@pytest.fixture(params=BACKENDS)
def backend(request: pytest.FixtureRequest) -> Backend:
    return cast("Backend", request.param)


@pytest.fixture(params=BACKENDS[1:])
def real_backend(request: pytest.FixtureRequest) -> Backend:
    return cast("Backend", request.param)


@pytest.fixture
async def deployment(deploy: MakeDeployment, backend: Backend) -> Deployment:
    return deploy(backend)


@pytest.fixture
async def store(deployment: Deployment) -> Store:
    return (await deployment.replica()).store

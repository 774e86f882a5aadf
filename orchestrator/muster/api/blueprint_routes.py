"""The rows of the table in `routes` about blueprints: read, saved, rolled out, moved between versions."""

from typing import Final

from muster.api import blueprint_models as bm
from muster.api import blueprints
from muster.api.operations import KIBIBYTE, Answer, Auth, Operation, Tag
from muster.api.parameters import text_parameter, whole_parameter
from muster.errors import ErrorCode as E

_STORE: Final = (E.STORE_UNAVAILABLE,)
_BLUEPRINT: Final = (E.BLUEPRINT_NOT_FOUND, *_STORE)
_CHANGE: Final = (E.PRECONDITION_FAILED, E.FORBIDDEN, E.TOO_MANY_BLUEPRINTS, E.STORE_FULL, *_STORE)
_IF_MATCH: Final = (
    text_parameter("If-Match", "Only if this is the version that new jobs begin with: an ETag, or `*`.", header=True),
    text_parameter("If-None-Match", "`*`: only if there is none.", header=True),
)

# fmt: off
BLUEPRINT_OPERATIONS: Final[tuple[Operation, ...]] = (
    Operation("GET", "/api/v1/blueprints/{blueprint_name}", blueprints.get_blueprint, "A blueprint and its versions",
              Tag.BLUEPRINTS, (Answer(200, "As it is now.", bm.BlueprintState),), Auth.CLIENT,
              parameters=(text_parameter("version", "Of this version, or number."),),
              errors=(E.VERSION_NOT_FOUND, *_BLUEPRINT)),
    Operation("PUT", "/api/v1/blueprints/{blueprint_name}", blueprints.put_blueprint, "Save a blueprint that is data",
              Tag.BLUEPRINTS, (Answer(200, "The same was saved before.", bm.SavedBlueprint),
                               Answer(201, "A new version.", bm.SavedBlueprint)),
              Auth.OPERATOR, documents=blueprints.SPEC_MEDIA_TYPES,
              parameters=(*_IF_MATCH, whole_parameter("share", "Percent of new jobs that begin with it, 100 if not "
                                                               "given; else it begins a rollout.", minimum=1)),
              errors=(E.MALFORMED_JSON, E.BODY_TOO_LARGE, E.INVALID_PARAMETER, E.BLUEPRINT_INVALID,
                      E.BLUEPRINT_IN_CODE, *_CHANGE)),
    Operation("DELETE", "/api/v1/blueprints/{blueprint_name}", blueprints.delete_blueprint,
              "Take a blueprint that is data out of service", Tag.BLUEPRINTS, (Answer(204, "Its jobs go on."),),
              Auth.OPERATOR, parameters=_IF_MATCH,
              errors=(E.BLUEPRINT_NOT_FOUND, E.INVALID_PARAMETER, E.BLUEPRINT_IN_CODE, *_CHANGE)),
    Operation("GET", "/api/v1/blueprints/{blueprint_name}/rollout", blueprints.get_rollout, "A rollout under way",
              Tag.BLUEPRINTS, (Answer(200, "It.", bm.RolloutState),), Auth.CLIENT,
              errors=(E.ROLLOUT_NOT_FOUND, *_BLUEPRINT)),
    Operation("PUT", "/api/v1/blueprints/{blueprint_name}/rollout", blueprints.put_rollout, "Begin or change a rollout",
              Tag.BLUEPRINTS, (Answer(200, "Under way.", bm.RolloutState),), Auth.OPERATOR, body=bm.PutRollout,
              body_bytes_max=16 * KIBIBYTE,
              errors=(E.BLUEPRINT_NOT_FOUND, E.VERSION_NOT_FOUND, E.ROLLOUT_REFUSED, *_CHANGE)),
    Operation("POST", "/api/v1/blueprints/{blueprint_name}/rollout/promote", blueprints.promote_rollout,
              "Let all new jobs begin with its version", Tag.BLUEPRINTS,
              (Answer(200, "They do.", bm.CurrentVersion),), Auth.OPERATOR, errors=(E.ROLLOUT_NOT_FOUND, *_CHANGE)),
    Operation("DELETE", "/api/v1/blueprints/{blueprint_name}/rollout", blueprints.abort_rollout,
              "Let no new job begin with its version", Tag.BLUEPRINTS,
              (Answer(200, "None does.", bm.CurrentVersion),), Auth.OPERATOR, errors=(E.ROLLOUT_NOT_FOUND, *_CHANGE)),
    Operation("POST", "/api/v1/blueprints/{blueprint_name}/migrate", blueprints.migrate_jobs,
              "Move running jobs to another version", Tag.BLUEPRINTS,
              (Answer(200, "What became, or would become, of a page of them.", bm.Migrated),), Auth.OPERATOR,
              body=bm.Migrate, body_bytes_max=64 * KIBIBYTE,
              errors=(E.BLUEPRINT_NOT_FOUND, E.VERSION_NOT_FOUND, E.INVALID_PARAMETER, E.FORBIDDEN, *_STORE)),
)
# fmt: on

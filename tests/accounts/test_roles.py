"""The table of roles, read against the contract."""

import pytest

from accounts.roles import OF_PROGRAMS, PERMISSIONS, ROLES, SCOPES, Role, permissions_of, roles_with

A, M, E, U, D = Role.ANALYST, Role.MANAGER, Role.ENGINEER, Role.AUDITOR, Role.ADMIN


@pytest.mark.parametrize(
    ("permission", "roles"),
    [
        ("read", {A, M, E, U, D}),
        ("hold.answer", {A, M}),
        ("scenario.run", {A, M}),
        ("exception.ask", {A, M}),
        ("killswitch.on", {A, M}),
        ("killswitch.off", {M}),
        ("run.undo", {M}),
        ("exception.grant", {M}),
        ("policy.approve", {M}),
        ("playbook.approve", {M}),
        ("policy.author", {E}),
        ("playbook.author", {E}),
        ("inventory.edit", {E}),
        ("audit.verify", {U}),
        ("audit.export", {U}),
        ("people.manage", {D}),
        ("token.manage", {D}),
        ("agent.connect", {E, D}),
        ("protected.edit", {D}),
        ("detections.write", set()),
        ("guard.ask", set()),
        ("sessions.write", set()),
    ],
)
def test_a_permission_belongs_to_these_roles(permission, roles):
    assert set(roles_with(permission)) == roles


def test_every_permission_is_given_by_some_role_or_scope_and_none_is_unknown():
    given = frozenset().union(*ROLES.values(), *SCOPES.values())
    assert given == set(PERMISSIONS)


def test_no_one_role_both_writes_and_approves():
    for role, permissions in ROLES.items():
        written = {permission.partition(".")[0] for permission in permissions if permission.endswith(".author")}
        approved = {permission.partition(".")[0] for permission in permissions if permission.endswith(".approve")}
        assert not written & approved, role


def test_no_scope_of_a_token_gives_what_only_people_do():
    for scope, permissions in SCOPES.items():
        assert permissions <= OF_PROGRAMS | {"read"}, scope


def test_two_roles_give_what_either_gives_and_none_gives_nothing():
    assert permissions_of([A, U]) == ROLES[A] | ROLES[U]
    assert permissions_of([]) == frozenset()


def test_a_role_that_does_not_exist_gives_an_error_and_not_silence():
    with pytest.raises(ValueError, match="owner"):
        permissions_of(["owner"])

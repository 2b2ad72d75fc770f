"""Plain authorization scenarios as policy texts: the published ones, and one of our own that a clone alone can be tested with."""

from __future__ import annotations

from containment.domain.policy import Mode, shipped_text

TODOS = """
scope:
  known:
    subjects:
      - id: CiRmZDA2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs
        properties: {email: rick@the-citadel.com, roles: [admin, evil_genius]}
      - id: CiRmZDM2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs
        properties: {email: beth@the-smiths.com, roles: [viewer]}
      - id: CiRmZDE2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs
        properties: {email: morty@the-citadel.com, roles: [editor]}
      - id: CiRmZDI2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs
        properties: {email: summer@the-smiths.com, roles: [editor]}
      - id: CiRmZDQ2MTRkMy1jMzlhLTQ3ODEtYjdiZC04Yjk2ZjVhNTEwMGQSBWxvY2Fs
        properties: {email: jerry@the-smiths.com, roles: [viewer]}
  rules:
    - {name: everybody reads, may: [can_read_user, can_read_todos]}
    - {name: who writes creates, who: {properties: {roles: [editor, admin, evil_genius]}}, may: can_create_todo}
    - {name: a genius changes any, who: {properties: {roles: evil_genius}}, may: can_update_todo}
    - {name: an admin deletes any, who: {properties: {roles: admin}}, may: can_delete_todo}
    - name: one's own
      who: {properties: {roles: [editor, admin]}}
      may: [can_update_todo, can_delete_todo]
      where: [resource.properties.ownerID == subject.properties.email]
    - {name: everybody looks, may: GET, on: {kind: route}}
    - {name: who writes, who: {properties: {roles: [editor, admin]}}, may: [POST, PUT, DELETE], on: {kind: route, id: "/todos*"}}
    - {name: nothing else, may_not: "*"}
"""
CERTIFICATION = """
scope:
  known:
    subjects: [{kind: user, id: bob, properties: {role: admin}}]
    resources:
      - {kind: record, id: record-1, properties: {status: active}}
      - {kind: record, id: record-2, properties: {status: archived}}
  rules:
    - {who: {id: alice}, may: [read, write], on: {id: record-1}}
    - {who: {id: bob}, may: read, on: {id: record-1}}
    - {who: {id: bob}, may_not: write, on: {id: record-1}}
    - {who: {id: alice}, may_not: write, on: {properties: {status: archived}}}
    - {who: {properties: {role: admin}}, may: write, on: {properties: {status: archived}}}
    - {who: {id: alice}, may: delete, with: {soft: true}, on: {id: record-1}}
    - {name: nothing else, may_not: "*"}
"""
LIBRARY = """
scope:
  known:
    subjects:
      - {kind: user, id: vera, properties: {desk: front}}
      - {kind: user, id: otto, properties: {desk: archive}}
  rules:
    - {name: all may look, who: {kind: user}, may: read, on: {kind: book}}
    - {name: the front desk lends, who: {properties: {desk: front}}, may: lend, on: {kind: book}, where: [resource.properties.copies > 1]}
    - {name: the archive mends, who: {properties: {desk: archive}}, may: "can_update_*", with: {gloves: true}, on: {id: "/shelves/*"}}
    - {name: nothing else, may_not: "*"}
"""


def text(section: str) -> str:
    """The shipped policy, enforced everywhere, with these rules in it."""
    return shipped_text(Mode.ENFORCE) + section

"""What a script does with PyGithub: who am I, my organization, its people, teams and repositories, and packages by
plain requests (PyGithub has no classes for them). Prints one JSON document.

python people.py API TOKEN ORG PACKAGE
"""

import json
import sys

from github import Auth, Github, GithubException

api, token, org, package = sys.argv[1:]
github = Github(base_url=api, auth=Auth.Token(token), retry=None, seconds_between_requests=0)


def tried(call):
    """The value of a call, or the status it was refused with."""
    try:
        return call()
    except GithubException as error:
        return error.status


def versions():
    """Versions of the package, page by page."""
    found, page = [], 1
    while True:
        path = f"/orgs/{org}/packages/container/{package}/versions?per_page=100&page={page}"
        _, items = github.requester.requestJsonAndCheck("GET", path)
        found += items
        if len(items) < 100:
            return len(found)
        page += 1


print(
    json.dumps(
        {
            "login": tried(lambda: github.get_user().login),
            "scopes": github.oauth_scopes,
            "organizations": tried(lambda: [one.login for one in github.get_user().get_orgs()]),
            "members": tried(lambda: sorted(one.login for one in github.get_organization(org).get_members())),
            "teams": tried(lambda: [team.slug for team in github.get_organization(org).get_teams()]),
            "repository": tried(lambda: github.get_repo(f"{org}/anvil").full_name),
            "versions": tried(versions),
            "limit": github.get_rate_limit().resources.core.limit,
        }
    )
)

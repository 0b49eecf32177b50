"""Python with requests; see xt/clients.t for what each recipe is to print."""

import os
import re
import sys

import requests

BASE, CLEAR, CA = (os.environ[name] for name in ("BASE", "CLEAR", "CA"))
ONLY = BASE + "/login/?login_only=1"
FORM = {"user": os.environ["LOGIN"], "pass": os.environ["PASS"]}


def session():
    client = requests.Session()
    client.verify = CA
    return client


def shown(answer):
    return "%d %s" % (answer.status_code, answer.text.split("\n")[0])


def open_with(page, answer, client, slash=""):
    """With the token opens a page, or returns status and "status" of a refusal."""
    said = answer.json()
    if not said.get("security_token"):
        return "%d %s" % (answer.status_code, said["status"])
    return shown(client.get(BASE + slash + said["security_token"] + page))


def post(page, url=ONLY, slash="", **options):
    client = session()
    options.setdefault("data", FORM)
    return open_with(page, client.post(url, **options), client, slash)


def jar():
    return shown(session().post(BASE + "/login/", data=dict(FORM, goto_uri="/jar")))


def refresh():
    client = session()
    answer = client.post(BASE + "/login/", data=dict(FORM, goto_uri="/refresh"), allow_redirects=False)
    found = re.search(r'META HTTP-EQUIV="refresh" CONTENT="2;URL=(/cpsess[^"]*)"', answer.text)
    return shown(client.get(BASE + found.group(1)))


def with_cookie(page, choose):
    """Opens a page with one of the cookies, put into a header by hand."""
    answer = session().post(ONLY, data=FORM)
    name, value = choose(list(answer.cookies.items()))
    url = BASE + answer.json()["security_token"] + page
    return shown(requests.get(url, headers={"Cookie": "%s=%s" % (name, value)}, verify=CA))


def first():
    answer = session().post(ONLY, data=FORM)
    cookie = answer.headers["Set-Cookie"].split(";")[0]
    url = BASE + answer.json()["security_token"] + "/first"
    return shown(requests.get(url, headers={"Cookie": cookie}, verify=CA))


def named():
    return with_cookie("/named", lambda cookies: next(c for c in cookies if c[0].endswith("session")))


def theme():
    answer = session().get(os.environ["THEME"])
    return re.search(r"/frontend/([^/]+)/", answer.url).group(1)


def get():
    client = session()
    params = dict(FORM, login_only="1")
    return open_with("/get", client.get(BASE + "/login/", params=params), client)


def query():
    client = session()
    return open_with("/query", client.post(ONLY, params=FORM), client)


def followed():
    answer = session().post(CLEAR + "/login/", data=FORM)
    return "cpsess" if "cpsess" in answer.url + answer.text else "none"


RECIPES = {
    "json": lambda: post("/json"),
    "jar": jar,
    "refresh": refresh,
    "first": first,
    "named": named,
    "multipart": lambda: post("/multipart", data=None, files={k: (None, v) for k, v in FORM.items()}),
    "origin": lambda: post("/origin", headers={"Origin": CLEAR}),
    "foreign": lambda: post("/foreign", headers={"Origin": "https://portal.example"}),
    "slashes": lambda: post("/slashes", slash="/"),
    "appended": lambda: shown(session().get(os.environ["URL"] + "&goto_uri=/appended")),
    "login": lambda: shown(session().get(os.environ["LOGIN_URL"] + "&goto_uri=%2flogin-form")),
    "theme": theme,
    "wrong": lambda: post("/wrong", data=dict(FORM, **{"pass": "wrong"})),
    "get": get,
    "query": query,
    "clear": lambda: post("/clear", CLEAR + "/login/?login_only=1"),
    "followed": followed,
}

for name in sys.argv[1:]:
    print("%s: %s" % (name, RECIPES[name]()))

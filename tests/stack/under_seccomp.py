"""Runs a program under a seccomp profile of Docker's format, as a container without capabilities would.

    under_seccomp.py PROFILE [--without CALL,CALL] PROGRAM ARGUMENT...

Rules that need a capability are left out, as they are in a container that has none; those for other
machines too.  Docker's own profile is the shipped one without the io_uring calls.
"""

import json
import os
import sys

import seccomp

OPERATORS = {
    "SCMP_CMP_EQ": seccomp.EQ, "SCMP_CMP_NE": seccomp.NE, "SCMP_CMP_LT": seccomp.LT,
    "SCMP_CMP_LE": seccomp.LE, "SCMP_CMP_GT": seccomp.GT, "SCMP_CMP_GE": seccomp.GE,
    "SCMP_CMP_MASKED_EQ": seccomp.MASKED_EQ,
}


def applies(rule, machine):
    includes = rule.get("includes") or {}
    excludes = rule.get("excludes") or {}
    if includes.get("caps"):
        return False
    if includes.get("arches") and machine not in includes["arches"]:
        return False
    return machine not in (excludes.get("arches") or [])


def argument(arg):
    operator = OPERATORS[arg["op"]]
    if operator == seccomp.MASKED_EQ:
        return seccomp.Arg(arg["index"], operator, arg["value"], arg.get("valueTwo", 0))
    return seccomp.Arg(arg["index"], operator, arg["value"])


def main():
    words = sys.argv[1:]
    with open(words.pop(0), encoding="utf-8") as file:
        profile = json.load(file)
    without = []
    if words[0] == "--without":
        without = words[1].split(",")
        del words[:2]
    machine = {"x86_64": "amd64", "aarch64": "arm64"}.get(os.uname().machine, "")
    rules = seccomp.SyscallFilter(seccomp.ERRNO(profile.get("defaultErrnoRet", 1)))
    for rule in profile["syscalls"]:
        if not applies(rule, machine):
            continue
        if rule["action"] == "SCMP_ACT_ALLOW":
            action = seccomp.ALLOW
        else:
            # clone3 says that it is not there, and libc takes clone, whose flags can be looked at.
            action = seccomp.ERRNO(rule.get("errnoRet", 1))
        for name in rule["names"]:
            if name in without:
                continue
            try:
                rules.add_rule(action, name, *[argument(a) for a in rule.get("args") or []])
            except (RuntimeError, ValueError):
                pass  # a call that this libseccomp or this machine does not know
    rules.load()
    os.execvp(words[0], words)


main()

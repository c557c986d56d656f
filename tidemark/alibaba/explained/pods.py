"""Pods of jobs and services: why one waits, what happens to it, why its container ended."""

from __future__ import annotations

from typing import Final

from tidemark.alibaba.explained import pages
from tidemark.alibaba.explained.entry import Explanation

__all__ = ["ENTRIES"]

_WAITING = (
    Explanation(
        "ContainerCreating",
        "waiting reason",
        "The container is being set up: image, mounts, network",
        ("The image is being pulled", "A volume is being mounted"),
        ("Wait; after some minutes read the pod's events",),
        "later",
        links=(pages.POD_LIFECYCLE,),
        also=("PodInitializing",),
    ),
    Explanation(
        "CrashLoopBackOff",
        "waiting reason",
        "The container ends again and again soon after its start; each restart waits longer",
        (
            "The command fails: a wrong argument, a missing file, a port in use",
            "Out of memory while the model loads",
            "The health check asks another port or path than the server listens on",
        ),
        (
            "Read the log of the container that ended before (previous) and its exit code",
            "Explain that exit code",
        ),
        "later",
        "The node is held, and billed, all the while",
        links=(pages.POD_LIFECYCLE, pages.EAS_FAQ),
        signs=(r"\bback-?off restarting failed container\b",),
    ),
    Explanation(
        "CreateContainerConfigError",
        "waiting reason",
        "Something that the container refers to is not there",
        ("A Secret or ConfigMap, or a key in it, does not exist in the namespace",),
        ("Create what the event names, in the same namespace",),
        "later",
        links=(pages.KUBERNETES,),
        signs=(r"\b(?:secret|configmap) \S{1,260} not found\b",),
    ),
    Explanation(
        "CreateContainerError",
        "waiting reason",
        "The container runtime could not make the container",
        ("The command does not exist in the image", "A mount that the node cannot make"),
        ("Read the pod's events, and correct the command or the mounts",),
        "later",
        links=(pages.POD_LIFECYCLE,),
        also=("RunContainerError", "ContainerCannotRun", "StartError"),
        signs=(r"\bfailed to create containerd task\b|\bOCI runtime create failed\b",),
    ),
)

_EVENTS = (
    Explanation(
        "FailedScheduling",
        "pod event",
        "No node can take the pod at present",
        (
            "No node has enough free GPUs, processors or memory at once",
            "A node selector, an affinity or a taint keeps all nodes away",
            "A volume that can be mounted only in another zone",
        ),
        (
            "Read the numbers in the event: they say how many nodes fail for which reason",
            "Ask for less, free a node, or let the node pool grow",
        ),
        "later",
        links=(pages.KUBERNETES,),
        also=("Unschedulable",),
        signs=(
            r"\b\d+/\d+ nodes are available\b",
            r"\binsufficient (?:nvidia\.com/gpu|cpu|memory)",
        ),
    ),
    Explanation(
        "FailedMount",
        "pod event",
        "A volume could not be mounted",
        (
            "The bucket, file system or claim does not exist, or lies in another region",
            "The role that mounts may not read it",
            "Another node still holds the volume",
        ),
        ("Check the data source's address and region, and the right to read it",),
        "later",
        "Nodes may be held, and billed, while the pod waits",
        links=(pages.KUBERNETES, pages.CREATE_JOB),
        also=("FailedAttachVolume",),
        signs=(
            r"\bMountVolume\.SetUp failed\b|\bunable to (?:attach or )?mount volumes\b"
            r"|\bfailed to mount\b",
        ),
    ),
    Explanation(
        "FailedCreatePodSandBox",
        "pod event",
        "The pod's network could not be set up",
        ("No addresses are left in the vSwitch", "A fault of the node"),
        ("Use a vSwitch with free addresses; else start again, to come to another node",),
        "later",
        links=(pages.KUBERNETES,),
    ),
    Explanation(
        "Unhealthy",
        "pod event",
        "A health check of the container fails",
        (
            "The model is still loading, and the check began too early",
            "The server listens on another port than is checked",
            "The server hangs",
        ),
        (
            "Give the check more time to begin, and the port that the server listens on",
            "Read the container's log",
        ),
        "later",
        links=(pages.POD_LIFECYCLE, pages.EAS_FAQ),
        signs=(r"\b(?:liveness|readiness|startup) probe (?:failed|errored)\b",),
    ),
    Explanation(
        "Created pod",
        "pod event",
        "The pod exists; its node and image come next",
        ("The job got as far as making its pods",),
        ("Wait for the events that follow",),
        "later",
        links=(pages.GET_JOB,),
        also=("SuccessfulCreate",),
        signs=(r"\bcreated pod:",),
    ),
    Explanation(
        "Scheduled",
        "pod event",
        "The pod has a node; the image is pulled next",
        ("A node with enough room was found",),
        ("Wait for the events that follow",),
        "later",
        "From here on a node is held",
        links=(pages.POD_LIFECYCLE,),
        signs=(r"\bsuccessfully assigned \S{1,260} to\b",),
    ),
    Explanation(
        "Started container",
        "pod event",
        "The container runs",
        ("Its image arrived and its command was started",),
        ("Follow its log",),
        "later",
        links=(pages.POD_LIFECYCLE,),
        also=("Started",),
        signs=(r"\bstarted container\b",),
    ),
    Explanation(
        "Killing",
        "pod event",
        "The container is being ended",
        (
            "The job was stopped or deleted",
            "The health check failed for too long",
            "The node is being emptied",
        ),
        ("Read the event before this one for the reason",),
        "never",
        links=(pages.POD_LIFECYCLE,),
        signs=(r"\bstopping container\b",),
    ),
)

_ENDS = (
    Explanation(
        "OOMKilled",
        "end of container",
        "The container used more memory than it was given, and the kernel ended it (exit code 137)",
        (
            "The model, or its loading, needs more main memory than was asked for",
            "A load generator that keeps every answer in memory",
            "Shared memory (/dev/shm) counts too",
        ),
        (
            "Ask for more memory (Memory in ResourceConfig, or a larger instance type)",
            "Load the model in smaller pieces, or with fewer processes",
        ),
        "never",
        links=(pages.POD_LIFECYCLE, pages.EAS_FAQ),
        also=("OOM",),
        signs=(
            r"\bout of memory: kill(?:ed)? process\b|\boom-?kill(?:ed|er)?\b"
            r"|\bmemory cgroup out of memory\b",
        ),
    ),
    Explanation(
        "Evicted",
        "end of container",
        "The node put the pod out",
        (
            "The node ran out of disk (ephemeral-storage): logs, caches, downloaded models",
            "The node ran out of memory",
            "The machine is being taken back or emptied",
        ),
        (
            "Write large files to a mounted volume, or ask for a larger disk",
            "Set requests for memory and ephemeral-storage that fit",
        ),
        "later",
        links=(pages.KUBERNETES,),
        signs=(r"\bthe node was low on resource\b|\btaint manager\b[^\n]{0,80}\bdelet",),
    ),
    Explanation(
        "DeadlineExceeded",
        "end of container",
        "The job ran longer than it may (activeDeadlineSeconds), and was ended",
        ("The work took longer than planned", "The time of waiting for a node counts too"),
        ("Allow more time, or measure fewer cells in one job",),
        "never",
        links=(pages.KUBERNETES,),
    ),
    Explanation(
        "BackoffLimitExceeded",
        "end of container",
        "The job's pods failed as often as is allowed",
        ("The command fails each time for the same reason",),
        ("Read the log of the last pod, and explain its exit code",),
        "never",
        links=(pages.KUBERNETES,),
        signs=(r"\bjob has reached the specified backoff limit\b",),
    ),
    Explanation(
        "Error",
        "end of container",
        "The container's command ended with an exit code other than 0",
        ("The command failed",),
        ("Read the container's log, and explain its exit code",),
        "never",
        links=(pages.POD_LIFECYCLE,),
    ),
    Explanation(
        "Completed",
        "end of container",
        "The container's command ended with exit code 0",
        ("It did what it was asked",),
        ("Take the result; a server should not end at all: give it a command that stays",),
        "never",
        links=(pages.POD_LIFECYCLE,),
    ),
    Explanation(
        "NodeLost",
        "end of container",
        "The pod's node does not report any more",
        ("The machine failed, or lost its network", "A spot instance was taken back"),
        ("Start again on another node; what ran there is lost",),
        "later",
        links=(pages.KUBERNETES,),
        also=("NodeNotReady", "NodeShutdown", "Terminated by node shutdown"),
        signs=(r"\bnode is not ready\b|\bnode (?:is )?shutting down\b",),
    ),
    Explanation(
        "Instance crashed",
        "end of container",
        "An EAS service's instance started and ended by itself",
        (
            "Out of memory while the model loads",
            "An error in the server's command or code",
            "Missing files of the model",
        ),
        ("Read the instance's log; Last Status shows the exit code, which can be explained too",),
        "never",
        links=(pages.EAS_FAQ, pages.SERVICE_INSTANCES),
        signs=(r"\bnot healthy: instance crashed\b",),
    ),
)

_LINES = (
    Explanation(
        "CUDA out of memory",
        "log line",
        "The GPU's memory is too small for what was asked of it",
        (
            "The model, its context length or its batch does not fit",
            "Another process uses the same GPU",
        ),
        (
            "Lower the context length, the batch or the share of memory that the engine takes",
            "Use a GPU with more memory, or several (tensor parallelism)",
        ),
        "never",
        links=(pages.PAI,),
        signs=(r"\bCUDA (?:error: )?out of memory\b|\btorch\.(?:cuda\.)?OutOfMemoryError\b",),
    ),
    Explanation(
        "NCCL timeout",
        "log line",
        "GPUs that work together waited for each other in vain",
        (
            "One of the processes ended or hangs: its log tells the cause",
            "The pods cannot reach each other over the network that NCCL chose",
        ),
        (
            "Look for the first pod that failed, and read its log",
            "Set NCCL_DEBUG=INFO, and NCCL_SOCKET_IFNAME to the right network interface",
        ),
        "later",
        links=(pages.PAI,),
        signs=(
            r"\bWatchdog caught collective operation timeout\b"
            r"|\bNCCL (?:error|timeout|WARN)[^\n]{0,80}|\bncclSystemError\b",
        ),
    ),
    Explanation(
        "no space left on device",
        "log line",
        "A disk is full",
        ("Downloaded models and caches on the system disk", "Results or logs that grow"),
        ("Write to a mounted volume, or ask for a larger disk (SystemDisk)",),
        "never",
        links=(pages.CREATE_JOB,),
        signs=(r"\bno space left on device\b",),
    ),
    Explanation(
        "exec format error",
        "log line",
        "The program is built for another kind of processor, or is a script without its first line",
        ("An image for Arm on amd64 nodes, or the other way round",),
        ("Build the image for linux/amd64; begin scripts with #!/bin/sh",),
        "never",
        links=(pages.PAI,),
        signs=(r"\bexec format error\b",),
    ),
    Explanation(
        "address already in use",
        "log line",
        "Another process listens on the port",
        ("Two servers in one pod", "The server was started twice"),
        ("Give the server another port, and tell it to whoever calls it",),
        "never",
        links=(pages.PAI,),
        also=("EADDRINUSE",),
        signs=(r"\baddress already in use\b|\bEADDRINUSE\b",),
    ),
)

ENTRIES: Final = (*_ENDS, *_LINES, *_WAITING, *_EVENTS)

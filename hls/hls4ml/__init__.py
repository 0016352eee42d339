"""hls4ml projects: conversion, compiled emulation, effective configuration, checks and predictions."""

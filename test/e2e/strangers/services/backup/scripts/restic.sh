#!/bin/sh
echo "backed up at $(date)" >>/cache/log

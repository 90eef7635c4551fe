#!/bin/sh
# The whole of our business.
SAY="shop 1.0" exec /bin/web

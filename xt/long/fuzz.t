#!/usr/bin/perl

# xt/fuzz.t with ten million runs: about ten minutes in total.

use strict;
use warnings;

local $ENV{LOGMEIN_FUZZ_RUNS} = 10_000_000;
exec $^X, 'xt/fuzz.t' or die "xt/fuzz.t: $!\n";

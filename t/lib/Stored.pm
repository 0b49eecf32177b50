package Stored;

# The bytes of a site's store, for tests that look for what must not be there.

use strict;
use warnings;

# Those of one part: its file in LMDB.
sub durable { my ($site) = @_; return _read( $site->dir . '/store/data.mdb' ) }

sub volatile { my ($site) = @_; return _read( glob $site->dir . '/store/volatile/*.mdb' ) }

sub _read {
    my ($path) = @_;
    open my $file, '<:raw', $path or die "$path: $!";
    local $/ = undef;
    return readline $file;
}

1;

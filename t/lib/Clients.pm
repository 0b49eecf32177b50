package Clients;

# Runs other programs as clients of the gateway.

use strict;
use warnings;
use Exporter              qw(import);
use Test::Cpanel::LogMeIn ();

our @EXPORT_OK = qw(has run_client);

# Independent of the caller's network settings: no proxy, no other certificates. The
# clients run without the sanitizer of a build.
delete @ENV{
    grep { /(?:_proxy|_CA_BUNDLE|\ASSL_CERT_FILE|\ASSL_CERT_DIR|\ALD_PRELOAD)\z/i }
        keys %ENV
};

# True if this command succeeds.
sub has {
    my (@command) = @_;
    return system("@command >/dev/null 2>&1") == 0;
}

# Runs a client and returns what it prints, errors included.
sub run_client {
    my (@command) = @_;
    return Test::Cpanel::LogMeIn::in_child(
        sub {
            open STDERR, '>&', \*STDOUT or die "STDERR: $!";
            exec @command or die "$command[0]: $!";
        }
    );
}

1;

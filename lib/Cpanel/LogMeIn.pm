package Cpanel::LogMeIn;

use strict;
use warnings;
use XSLoader ();

our $VERSION = '0.01';

# What the last call found out, for the operator.
our $detail = '';

XSLoader::load( __PACKAGE__, $VERSION );

1;

__END__

=head1 NAME

Cpanel::LogMeIn - log users in to cPanel-style services, and get the URL

=cut

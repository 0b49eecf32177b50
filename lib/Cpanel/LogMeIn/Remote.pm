package Cpanel::LogMeIn::Remote;

use strict;
use warnings;
use XSLoader ();

our $VERSION = '0.01';

XSLoader::load( __PACKAGE__, $VERSION );

1;

__END__

=head1 NAME

Cpanel::LogMeIn::Remote - remote logins, and logins through the gateway's socket

=head1 DESCRIPTION

L<Cpanel::LogMeIn> loads this module at the first login that goes to another
server, or to the gateway's socket. It loads libcurl and jansson, which other
logins do not need. It has no public functions.

If the two libraries were missing when Cpanel::LogMeIn was built, loading this
module fails, and such logins fail with the fault C<LIBRARY>.

A program that forks many children may load it in advance:

    use Cpanel::LogMeIn::Remote ();

=head1 SEE ALSO

L<logmein.conf(5)/REMOTE LOGINS>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut

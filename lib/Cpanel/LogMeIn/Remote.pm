package Cpanel::LogMeIn::Remote;

use strict;
use warnings;
use XSLoader ();

our $VERSION = '0.01';

XSLoader::load( __PACKAGE__, $VERSION );

1;

__END__

=head1 NAME

Cpanel::LogMeIn::Remote - what logins that leave the process need

=head1 DESCRIPTION

L<Cpanel::LogMeIn> loads this module at the first login that goes to another
server, or to the gateway's socket. It brings libcurl and jansson with it, which
other logins do without. There is nothing to call.

Where the two libraries were missing when Cpanel::LogMeIn was built, loading
this module fails, and such logins are answered with the fault C<LIBRARY>.

A program that forks many children may load it beforehand:

    use Cpanel::LogMeIn::Remote ();

=head1 SEE ALSO

L<Cpanel::LogMeIn/Remote logins>.

=head1 LICENSE

MIT: see the file LICENSE.

=cut

package Cpanel::Config::Constants;

use strict;
use warnings;

our $VERSION = '0.01';

our $DEFAULT_CPANEL_THEME           = 'jupiter';
our $DEFAULT_CPANEL_MAILONLY_THEME  = 'jupiter';
our $DEFAULT_WEBMAIL_THEME          = 'jupiter';
our $DEFAULT_WEBMAIL_MAILONLY_THEME = 'jupiter';

1;

__END__

=head1 NAME

Cpanel::Config::Constants - the names of the default themes

=head1 SYNOPSIS

    use Cpanel::Config::Constants ();

    my $uri = "/frontend/$Cpanel::Config::Constants::DEFAULT_CPANEL_THEME/";

=head1 DESCRIPTION

Scripts written for cPanel use these names to build the path of a page. The module
has four package variables and exports nothing:

=over 4

=item C<$DEFAULT_CPANEL_THEME>

=item C<$DEFAULT_CPANEL_MAILONLY_THEME>

=item C<$DEFAULT_WEBMAIL_THEME>

=item C<$DEFAULT_WEBMAIL_MAILONLY_THEME>

=back

All four are C<jupiter>. A script may assign to them.

=head1 SEE ALSO

L<Cpanel::LogMeIn>

=head1 LICENSE

MIT; see the file LICENSE.

=cut

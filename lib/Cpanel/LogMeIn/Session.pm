package Cpanel::LogMeIn::Session;

use strict;
use warnings;
use Cpanel::LogMeIn ();

our $VERSION = '0.01';

1;

__END__

=head1 NAME

Cpanel::LogMeIn::Session - redeem login tickets, check and end sessions

=cut
